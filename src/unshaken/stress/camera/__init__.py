"""Exposure: what a camera with a stated sensor records of a scene with too little or too much light."""
