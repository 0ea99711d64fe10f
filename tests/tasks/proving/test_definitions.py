from dataclasses import replace

from tasks.contract import Needs
from tasks.engines.base import Engine, Server
from tasks.formats.registry import FORMATS, load_format
from tasks.proving.definitions import THREADS, benchmark_definition, control_definition, evaluate_definition

ENGINE = Engine(
    name="toy",
    runtime="toy-runtime",
    runner="tasks.engines.toy.runner:open_runner",
    serving="tasks.engines.toy.serving",
    usage=lambda folder, files, facts, prompt, context: [],
    native=("tool",),
    needs=Needs(device="cuda"),
)


def test_an_engines_runtime_native_builds_code_and_needs_are_those_of_the_task() -> None:
    format = load_format(next(iter(FORMATS)))
    for define in (evaluate_definition, benchmark_definition):
        definition = define(format, ENGINE)
        assert (definition.runtime, definition.native, definition.needs) == ("toy-runtime", ("tool",), ENGINE.needs)
        assert set(definition.roots) == {ENGINE.runner, format.inspect}


def test_an_engines_server_is_in_the_key_of_an_evaluation_with_the_facts_that_decide_its_options() -> None:
    format = load_format(next(iter(FORMATS)))
    served = replace(ENGINE, server=Server("tasks.engines.toy.server:read_chats", ("opens",)))
    plain, definition = evaluate_definition(format, ENGINE), evaluate_definition(format, served)
    assert set(definition.roots) - set(plain.roots) == {"tasks.engines.toy.server:read_chats"}
    assert set(definition.facts["artifact"]) - set(plain.facts["artifact"]) == {"opens"}


def test_a_comparison_with_a_control_runs_in_the_engine_and_knows_how_weights_are_compared() -> None:
    format = load_format("gguf")
    definition = control_definition(format, ENGINE)
    assert (definition.runtime, definition.native, definition.needs) == ("toy-runtime", ("tool",), ENGINE.needs)
    assert set(definition.roots) == {ENGINE.runner, format.inspect, format.same_weights}
    assert definition.hardware and definition.reads["evaluation"] == ("windows.json",)


def test_which_files_are_weighed_is_in_the_key_of_an_evaluation() -> None:
    format = load_format(next(iter(FORMATS)))
    assert evaluate_definition(format, ENGINE).values == tuple(format.weights)


def test_numbers_depend_on_the_hardware_and_a_timing_on_threads_too() -> None:
    format = load_format(next(iter(FORMATS)))
    evaluate, benchmark = evaluate_definition(format, ENGINE), benchmark_definition(format, ENGINE)
    assert (evaluate.hardware, evaluate.timing, evaluate.threads) == (True, False, THREADS)
    assert (benchmark.hardware, benchmark.timing, benchmark.threads) == (True, True, None)
