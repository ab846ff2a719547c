"""A ward over several machines on NATS JetStream: a host of the same steps. Extra `[nats]`."""
