"""Who is there and who leads: leadership, heartbeats, TaskManagers, slots, and what clients say."""
