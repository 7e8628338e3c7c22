"""Files and code of jobs on their way: from clients to the leader, and once to each TaskManager."""
