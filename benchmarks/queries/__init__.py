"""What is asked about which pair, and the controls that read nothing but the words."""
