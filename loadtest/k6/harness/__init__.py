"""What runs around k6: the processes, what happens to them meanwhile, and what must have been recorded afterwards."""
