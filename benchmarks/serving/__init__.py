"""The served system, measured from outside: overhead, load, and more load than it can bear."""
