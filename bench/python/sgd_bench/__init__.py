"""What sgd-bench does in Python: PyTorch beside the library (vs-torch), and the report page."""
