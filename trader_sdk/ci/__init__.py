"""Checks for pipelines: one list of checks, judged once and rendered for people, programs and CI services."""
