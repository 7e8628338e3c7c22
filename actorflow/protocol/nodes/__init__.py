"""Who is there and who leads: leadership, TaskManagers, slots, and what clients say."""
