"""What a model is asked about a picture, and the candidates and kinds that its answers hold."""
