"""Finished weights put into a module that was built as their training began."""

from collections.abc import Mapping

from torch import Tensor, nn

from reasoncd.errors import CheckpointError


def load_trained(
    module: nn.Module, state: Mapping[str, Tensor], *, where: str, optional: tuple[str, ...] = ()
) -> None:
    """Load what training changed; frozen parameters are not in it and stay as the module was built.

    Args:
        module: what was trained.
        state: its weights, by name.
        where: where they come from, for errors.
        optional: beginnings of names that may be absent: heads that only training has, and that start anew.

    Raises:
        CheckpointError: the weights are those of another module.
    """
    result = module.load_state_dict(state, strict=False)
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    missing = [n for n in result.missing_keys if n in trained and not n.startswith(optional)]
    for what, names in (("holds", result.unexpected_keys), ("lacks", missing)):
        if names:
            raise CheckpointError(
                f"{where} {what} {names[0]} and does not fit the recipe; use the one it was trained by, or "
                "train in another folder"
            )
