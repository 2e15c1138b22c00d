"""Kernels: functions that emit LLVM text. They know instruction sets and pointers, not graphs."""
