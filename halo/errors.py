"""What can go wrong between a profile and a report.

HaloError
├── ConfigError          a configuration file or option
├── ModelError           a model folder, shape or module
├── NumericsError        NaN or infinity in weights, activations or gradients
├── PlanError            no operating point meets timing, or a plan contradicts its profile
│   └── ThroughputError  the required throughput is not reached, even at the fastest
└── OutputError          an output folder that exists or cannot be written

Each message is one line: what, where, the value found, and how to mend it.
"""


class HaloError(Exception):
    """A user-visible failure of the model half; the command line prints it as one line and exits with 2."""


class ConfigError(HaloError):
    """A configuration file or option that is not understood."""


class ModelError(HaloError):
    """A model folder, shape or module that cannot be quantized."""


class NumericsError(HaloError):
    """NaN or infinity where a number is needed; the message names the module."""


class PlanError(HaloError):
    """No operating point meets timing, or a plan contradicts its profile."""


class ThroughputError(PlanError):
    """The required throughput is not reached, even at the fastest; the message says what is."""


class OutputError(HaloError):
    """An output that exists already or cannot be written."""
