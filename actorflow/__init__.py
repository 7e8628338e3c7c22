"""actorflow: a distributed dataflow engine built from actors."""
