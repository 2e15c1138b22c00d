"""Every error that Edgewise raises on purpose.

    EdgewiseError
    ├── ModelError           the model file is broken, or breaks a rule of its format
    │   └── UnsupportedError the model is valid, but uses something Edgewise does not have yet
    ├── GraphError           a graph breaks an invariant (a defect of an importer or a pass)
    ├── InputError           an argument or input array of the caller does not fit
    ├── RunError             a call cannot end, or an operator cannot take what was computed
    ├── CompileError         no kernel, or machine code that could not be generated or loaded
    └── MissingExtraError    a feature needs an optional package that is not installed

A message names the object, the value and the rule that it breaks.
"""


class EdgewiseError(Exception):
    """Base of all errors raised by Edgewise."""


class ModelError(EdgewiseError):
    """The model file is broken, or breaks a rule of its format."""


class UnsupportedError(ModelError):
    """The model is valid, but uses something that Edgewise does not have yet."""


class GraphError(EdgewiseError):
    """A graph breaks an invariant."""


class InputError(EdgewiseError):
    """An argument or an input array of the caller does not fit."""


class RunError(EdgewiseError):
    """A call cannot end, or an operator cannot take what was computed before it."""


class CompileError(EdgewiseError):
    """Machine code could not be generated or loaded."""


class MissingExtraError(EdgewiseError):
    """A feature needs an optional package that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package: pip install 'edgewise[{extra}]'")
