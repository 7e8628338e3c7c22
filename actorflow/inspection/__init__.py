"""Looking at a living cluster: its actors by path, what they do, why a job is slow.

`cluster_view.ClusterView` is what people hold, in the shell, in a notebook, behind REST: it asks actors on their control lanes, which answer
between two batches. `diagnosis` decides, from what they say and nothing else, who holds a job up.
"""
