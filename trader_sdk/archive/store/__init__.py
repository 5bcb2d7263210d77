"""Where an archive lies: durable files, the writer's lock and the audit chain on a local folder."""
