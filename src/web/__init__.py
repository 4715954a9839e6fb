"""The web page that dehazes photos on the visitor's own machine."""
