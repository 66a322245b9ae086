"""The kind `tfjs:`, graph models of TensorFlow.js as torch modules: `read_graph` reads files, `GraphNet` computes."""
