"""What can go wrong between a Verilog file and a profile.

CharacterizationError
├── DesignError          design.toml: unknown key, wrong port, width or role
├── PdkError             a PDK file, or a corner that is not in it
├── LibertyError         a Liberty file: truncated, unknown construct, missing cell or arc
├── SynthesisError       Yosys rejected the sources
├── EquivalenceError     the mapped netlist disagrees with its reference
├── NetlistError         a netlist that cannot be read or cut
├── SimulationError      Icarus or a bench failed
├── CellsError           transistors to Liberty: a wheel, layout, or cell that cannot be measured
├── CertifyError         a certificate that cannot be asked for, or not be had
├── ToolMissingError     an external program is not installed
└── ArtifactError        a saved file of another schema, damaged, or for other inputs

Each message is one line: what, where, the value found, and how to mend it.
"""


class CharacterizationError(Exception):
    """A user-visible failure of the hardware half; the command line prints it as one line and exits with 2."""


class DesignError(CharacterizationError):
    """A `design.toml` that does not describe its Verilog."""


class PdkError(CharacterizationError):
    """A PDK description, or a corner it does not have."""


class LibertyError(CharacterizationError):
    """A Liberty file that cannot be used."""


class SynthesisError(CharacterizationError):
    """Yosys rejected the sources, or its result cannot be mapped."""


class EquivalenceError(CharacterizationError):
    """A netlist that does not compute what its reference says."""


class NetlistError(CharacterizationError):
    """A netlist that is not what timing and simulation need."""


class SimulationError(CharacterizationError):
    """A simulator or bench that failed."""


class CellsError(CharacterizationError):
    """A standard cell that cannot be extracted, simulated or measured."""


class CertifyError(CharacterizationError):
    """A certified delay that was asked of something it cannot be had for."""


class ToolMissingError(CharacterizationError):
    """An external program that is not installed."""


class ArtifactError(CharacterizationError):
    """A saved file that cannot be trusted: other schema, damaged, or made from other inputs."""
