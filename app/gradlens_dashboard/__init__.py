"""The dashboard: a Streamlit app that shows a folder of runs. ``gradlens dashboard`` starts it."""
