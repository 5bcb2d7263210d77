"""Training half: environment, PPO, validation, save hook and archive of runs."""
