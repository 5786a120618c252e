"""Any objective of vold in TRL's GRPOTrainer. Needs the extra `trl`; nothing else in vold imports it."""

from trl import __version__

from vold.integrations.trl.trainer import VoldTrainer

if not __version__.startswith("1.16."):
    raise ImportError(
        f"vold.integrations.trl overrides methods of TRL 1.16, found TRL {__version__}: its own loss might be trained without a word. "
        "Install vold[trl]."
    )

__all__ = ["VoldTrainer"]
