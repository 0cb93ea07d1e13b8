"""The dashboard: a Streamlit app over a folder of runs, started by ``gradlens dashboard``."""
