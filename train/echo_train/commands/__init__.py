"""The console commands: echo-train, echo-eval, echo-predict and echo-report."""
