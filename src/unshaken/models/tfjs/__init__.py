"""Graph models of TensorFlow.js as torch modules: `read_graph` reads the files, `GraphNet` computes."""
