export PATH=/opt/reasoncd/venv/bin:$PATH
