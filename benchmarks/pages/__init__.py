"""Reports, figures and pictures as one HTML file."""
