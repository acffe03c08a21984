"""A job for each point of a sweep, and one table of them all. Run by `make sweep`.

A point whose measurement fails writes a record that says so, and its job ends well: the others go
on, and their table is made. A job that is killed before it can write (memory, time, a lost node)
is started a second time by Snakemake; a third attempt only writes down that it was killed twice.
"""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from qlab.core.errors import QlabError

sys.path.insert(0, workflow.basedir)
import sweep as sweeps

ATTEMPTS = 2  # real ones

# The paths below are relative to the folder where Snakemake works; the points must agree.
os.environ["QLAB_HOME"] = os.getcwd()
try:
    file = Path(config.get("sweeps", Path(workflow.basedir, "sweeps.yaml")))
    sweep = sweeps.read(file, str(config.get("sweep", "")))
except QlabError as error:
    raise WorkflowError(str(error)) from None

# Snakemake may work in another folder (--directory).
SCRIPT = str(Path(workflow.basedir, "sweep.py"))
FOLDER = f"build/sweep/{sweep.experiment}/{sweep.profile}"
TABLE = f"data/results/{sweep.place}/{sweep.experiment}"


def last_failure(point):
    """Changes with every failure of a point, so that it runs again; a success leaves it."""
    file = Path(FOLDER, f"{point}.failure")
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def assignments(point):
    return [f"{axis}={value}" for axis, value in sweep.points[point].model_dump().items()]


wildcard_constraints:
    point=r"[\w-]+",


localrules:
    all,
    merge,


rule all:
    default_target: True
    input:
        local(TABLE + ".csv"),


rule merge:
    input:
        expand(FOLDER + "/{point}.csv", point=sweep.points),
        expand(FOLDER + "/{point}.provenance.json", point=sweep.points),
    output:
        # Kept where a merge fails, and not on a cluster's storage.
        local(update(TABLE + ".csv")),
        local(update(TABLE + ".provenance.json")),
    params:
        axes=sweep.axes,
        points=lambda wildcards, input: os.path.dirname(input[0]),
    shell:
        """
        {sys.executable:q} {SCRIPT:q} merge {file:q} {sweep.name} \
            --points {params.points:q} --output {output[0]:q}
        """


rule point:
    output:
        FOLDER + "/{point}.csv",
        FOLDER + "/{point}.provenance.json",
    params:
        assignments=lambda wildcards: assignments(wildcards.point),
        sources=sweeps.fingerprint(sweep.experiment),
        last_failure=lambda wildcards: last_failure(wildcards.point),
    threads: 1
    retries: ATTEMPTS
    resources:
        attempt=lambda wildcards, attempt: attempt,
        mem_mb=lambda wildcards, attempt: sweep.resources.mem_mb * attempt,
        runtime=sweep.resources.runtime,
    shell:
        """
        {sys.executable:q} {SCRIPT:q} point {sweep.experiment} {params.assignments:q} \
            --profile {sweep.profile} --threads {threads} --output {output[0]:q} \
            --killed $(( {resources.attempt} > {ATTEMPTS} ? {ATTEMPTS} : 0 ))
        """
