"""The contract: everything that must mean the same in training and in trading.

Pure: no torch, no broker, no clock, no disk beyond the package's own data files. Code belongs here if and only if
changing it in one half alone would make a model silently wrong.
"""
