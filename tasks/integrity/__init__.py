"""Compares what an artifact stores with the weights of its source, tensor by tensor."""
