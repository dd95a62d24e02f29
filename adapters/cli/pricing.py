"""`pricing`: the commands about pricing policies, their runs, evaluation and experiments."""

from adapters.cli import evaluating, experiments, pricing_log
from adapters.cli.commands import RenamedOptions

app = evaluating.app
for command in (
    pricing_log.explain,
    pricing_log.runs,
    pricing_log.policies,
    pricing_log.stop,
    pricing_log.resume,
    pricing_log.approve,
    pricing_log.decline,
    pricing_log.min_hold,
    pricing_log.withdraw_price,
):
    app.command(cls=RenamedOptions)(command)
app.add_typer(experiments.app, name="experiment")
