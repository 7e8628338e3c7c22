"""Between subtasks: exchanges, lanes with credits, links between nodes, input gates."""
