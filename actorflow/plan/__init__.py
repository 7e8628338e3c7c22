"""What is to run: the graph as the user built it, and the subtasks and channels it becomes. Pure, immutable data.

graph.py       the logical graph                       execution.py    vertices, edges, channels
chaining.py    from the one to the other               channels.py     which subtasks an exchange joins
parallelism.py how many subtasks and key groups        key_groups.py   which subtask owns which keys
identity.py    ids and names of operators              checks.py       what can be wrong with a graph
data_path.py   objects or columns, edge by edge        explain.py      the plan as text
suggest.py     what a wrong name may have meant        pruning.py     what leads to no sink
"""
