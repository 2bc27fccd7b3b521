"""Tables, plots and the HTML page about finished runs."""
