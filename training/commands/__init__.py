"""The commands of `reasoncd-train`, one module for those that go together."""
