"""The plan as text, and the forms in which records travel."""

from plan_graphs import MappingColumns, Passing, ReadingColumns, edge, graph, line, op

from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.data_path import EdgePath, edge_paths
from actorflow.plan.explain import explain
from actorflow.plan.graph import DataPath, LogicalEdge, Partitioner, Partitioning

OBJECTS, COLUMNS, ANY = DataPath.OBJECTS, DataPath.COLUMNS, DataPath.ANY


def explained(logical, default_parallelism=2):
    text = explain(logical, build_execution_graph(logical, default_parallelism=default_parallelism))
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_chains_edges_and_numbers_are_aligned():
    operators = [op("read"), op("flat_map"), op("count"), op("write", parallelism=1)]
    edges = [edge("read", "flat_map"), edge("flat_map", "count", "hash"), edge("count", "write")]
    assert (
        explained(graph(operators, edges))
        == """\
pipeline 'job' (mode auto): 4 operators in 3 chains, 5 subtasks, 6 channels, 2 slots

chain  operator  kind    subtasks  key groups  slot group  dispatcher
1      read      source         2         128  default     default
1      flat_map  map            2         128  default     default
2      count     map            2         128  default     default
3      write     sink           1         128  default     default

from      to        partitioner  channels  path
read      flat_map  forward       chained  objects
flat_map  count     hash                4  objects
count     write     rebalance           2  objects"""
    )


def test_what_is_sorted_on_the_way_says_so():
    edges = [edge("read", "count", "hash"), edge("count", "write", "rebalance")]
    text = explained(graph([op("read"), op("count"), op("write")], edges, mode="batch"), default_parallelism=1)
    assert text.startswith("pipeline 'job' (mode batch): 3 operators in 3 chains,")
    assert text.endswith(
        """\
from   to     partitioner   channels  path
read   count  hash, sorted         1  objects
count  write  rebalance            1  objects"""
    )


def test_one_of_each_is_told_in_the_singular():
    assert explained(line(op("read", parallelism=1), op("write", parallelism=1))).startswith(
        "pipeline 'job' (mode auto): 2 operators in 1 chain, 1 subtask, 0 channels, 1 slot\n"
    )


def test_conversions_side_outputs_and_key_columns_are_shown():
    operators = [op("read", ReadingColumns()), op("clean", MappingColumns()), op("count"), op("last"), op("write"), op("write-bad")]
    by_column = Partitioner(Partitioning.HASH, key=str, key_column="origin")
    edges = [
        edge("read", "clean"),
        LogicalEdge("clean", "count", by_column),
        edge("count", "last", "hash"),
        edge("last", "write"),
        edge("clean", "write-bad", "hash", tag="bad"),
    ]
    table = explained(graph(operators, edges)).split("\n\n")[2]
    assert (
        table
        == """\
from        to         partitioner              channels  path
read        clean      forward                   chained  columns
clean       count      hash on column 'origin'         4  columns -> objects (converted by 'count')
count       last       hash                            4  objects
last        write      forward                   chained  objects
clean[bad]  write-bad  hash                            4  columns -> objects (converted by 'clean': a function chooses the subtask)"""
    )


def test_an_operator_that_takes_any_form_gives_the_form_it_got():
    paths = edge_paths(line(op("read", ReadingColumns()), op("pass", Passing()), op("columns", MappingColumns()), op("write")))
    assert paths == (EdgePath(COLUMNS, COLUMNS, COLUMNS), EdgePath(COLUMNS, COLUMNS, COLUMNS), EdgePath(COLUMNS, COLUMNS, OBJECTS))


def test_two_forms_united_stay_mixed_until_an_operator_asks_for_one():
    operators = [op("read", ReadingColumns()), op("read-2"), op("pass", Passing()), op("write")]
    paths = edge_paths(graph(operators, [edge("read", "pass"), edge("read-2", "pass"), edge("pass", "write")]))
    assert paths[2] == EdgePath(ANY, ANY, OBJECTS)
    assert paths[2].converted_by_consumer
    assert "objects or columns -> objects (converted by 'write')" in explained(
        graph(operators, [edge("read", "pass"), edge("read-2", "pass"), edge("pass", "write")])
    )
