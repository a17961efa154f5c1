__version__ = "0.2.0.dev0"


def __getattr__(name: str) -> object:
    "`biosig_nb.compare`, imported when it is first asked for: it needs torch."
    if name in ("compare", "Comparison"):
        from biosig_nb import api

        return getattr(api, name)
    raise AttributeError(f"module 'biosig_nb' has no attribute '{name}'")
