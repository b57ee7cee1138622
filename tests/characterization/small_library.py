"""A Liberty library small enough to reckon with by hand: every delay and slew is linear in load and slew.

Delay from a pin is `base + 2 ps/fF x load + 0.1 x slew`, slew is `10 ps + 1 ps/fF x load + 0.2 x slew`. Units in the
text are ns and pF, and the axes are load first; cell XOR2 has slew first.
"""

LOADS_PF, SLEWS_NS = (0.001, 0.01), (0.01, 0.1)
HEADER = """library (small) {
  /* a comment with a { brace
     over two lines */
  delay_model : table_lookup;
  time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1pW"; capacitive_load_unit (1, pf);
  nom_voltage : 1.8; nom_temperature : 25;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20; slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80; slew_upper_threshold_pct_fall : 80;
  operating_conditions (slow) { voltage : 1.6; temperature : 100; }
  default_operating_conditions : "slow";
  lu_table_template (load_slew) {
    variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("1000, 1001"); index_2 ("1000, 1001");
  }
  lu_table_template (slew_load) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("1000, 1001"); index_2 ("1000, 1001");
  }
  lu_table_template (check) {
    variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
    index_1 ("1000, 1001"); index_2 ("1000, 1001, 1002");
  }
  power_lut_template (energy) { variable_1 : input_transition_time; index_1 ("1000, 1001"); }
"""


def table(kind, base_ps, per_ff, per_ps, template="load_slew"):
    first, second = (LOADS_PF, SLEWS_NS) if template == "load_slew" else (SLEWS_NS, LOADS_PF)
    rows = []
    for one in first:
        loads_slews = [(one, other) if template == "load_slew" else (other, one) for other in second]
        numbers = [(base_ps + per_ff * load * 1000 + per_ps * slew * 1000) / 1000 for load, slew in loads_slews]
        rows.append('"' + ", ".join(f"{number:.9f}" for number in numbers) + '"')
    axes = [f'index_{i + 1} ("{", ".join(map(str, axis))}");' for i, axis in enumerate((first, second))]
    return f"{kind} ({template}) {{ {' '.join(axes)} values ( \\\n {', '.join(rows)} ); }}\n"


def timing(related, rise_ps, fall_ps, sense="", when="", kind="", template="load_slew"):
    text = f'timing () {{ related_pin : "{related}";\n'
    text += f'when : "{when}";\n' if when else ""
    text += "".join(f"{name} : {value};\n" for name, value in (("timing_sense", sense), ("timing_type", kind)) if value)
    text += table("cell_rise", rise_ps, 2, 0.1, template) + table("cell_fall", fall_ps, 2, 0.1, template)
    text += table("rise_transition", 10, 1, 0.2, template) + table("fall_transition", 10, 1, 0.2, template)
    return text + "}\n"


def power(rise_fj, fall_fj, related="", when=""):
    """Energy in the library's unit, pF V^2 = 1000 fJ, the same at all slews."""
    head = (f'related_pin : "{related}"; ' if related else "") + (f'when : "{when}"; ' if when else "")
    tables = "".join(f'{edge}_power (energy) {{ index_1 ("0.01, 0.1"); values ("{value / 1000}, {value / 1000}"); }}\n'
                     for edge, value in (("rise", rise_fj), ("fall", fall_fj)))
    return f"internal_power () {{ {head}{tables} }}\n"


def constraint(kind, rise_ps, fall_ps):
    """A check that does not depend on slews."""
    tables = "".join(f'{edge}_constraint (check) {{ index_1 ("0.01, 0.1"); index_2 ("0.01, 0.1, 0.2"); '
                     f'values ("{t}, {t}, {t}", "{t}, {t}, {t}"); }}\n'
                     for edge, t in (("rise", rise_ps / 1000), ("fall", fall_ps / 1000)))
    return f'timing () {{ related_pin : "CLK"; timing_type : {kind}; {tables} }}\n'


def pin(name, body="", rise_ff=3.0, fall_ff=1.0):
    return (f"pin ({name}) {{ direction : input; capacitance : {(rise_ff + fall_ff) / 2000};\n"
            f"rise_capacitance : {rise_ff / 1000}; fall_capacitance : {fall_ff / 1000}; {body} }}\n")


def output(name, function, body):
    return f'pin ({name}) {{ direction : output; function : "{function}"; max_capacitance : 0.05;\n{body} }}\n'


def cell(name, *parts, area=10.0, leakage="cell_leakage_power : 2000;"):
    return f"cell ({name}) {{ area : {area}\n{leakage}\n{''.join(parts)} }}\n"


INV = cell("INV", pin("A"), output("Y", "!(!(!A))", timing("A", 20, 10, "negative_unate") + power(5, -2, "A")))
NAND2 = cell("NAND2", pin("A"), pin("B"), output("Y", "(A B)'", timing("A B", 30, 20, "negative_unate")))
XOR2 = cell("XOR2", pin("A"), pin("B"), output("Y", "A^B", "".join(
    timing(one, *delays, sense, when, "combinational", "slew_load") for one, other in ("AB", "BA")
    for sense, when, delays in (("positive_unate", f"!{other}", (40, 50)), ("negative_unate", other, (60, 70))))))
HA = cell("HA", pin("A"), pin("B"), output("S", "A^B", timing("A B", 80, 90, "non_unate")),
          output("C", "A B", timing("A B", 25, 35)))
AOI21 = cell("AOI21", pin("A"), pin("B"), pin("C"),
             output("Y", "(!A*!C) + (!B*!C)", timing("A B C", 30, 30, "negative_unate")))
DFF = cell(
    "DFF", 'ff (IQ, IQN) { clocked_on : "CLK"; next_state : "D"; }\n',
    pin("CLK", "clock : true;" + power(7, 8)), pin("D", constraint("setup_rising", 50, 60) + power(1, 3)),
    output("Q", "IQ", timing("CLK", 100, 110, "non_unate", "", "rising_edge") + power(4, 6, "CLK")),
    output("QN", "IQN", timing("CLK", 120, 130, "non_unate", "", "rising_edge")),
    leakage='leakage_power () { value : 3000; when : "D"; } leakage_power () { value : 1000; when : "!D"; }',
)
CELLS = (INV, NAND2, XOR2, HA, AOI21, DFF)


def library_text(*cells):
    return HEADER + "".join(cells or CELLS) + "}\n"
