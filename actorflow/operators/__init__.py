"""What runs inside a subtask: compiled chains of operators. READ `chain` first, then `contract`: how the runtime and operators meet.

`compiled` is generated loops, `columnar` the same on batches of columns; `windowing`, `joins` and `event_time` are what they say; `processing` runs operators that users write as
actors, `asynchronous` coroutines. `specs` is the operators as values.
"""
