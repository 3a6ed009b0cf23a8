"""Benchmarks of the fused ops against plain torch, torch.compile and the copy bandwidth."""
