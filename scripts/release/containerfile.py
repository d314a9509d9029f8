"""Carries out a Containerfile without a container engine: root file systems are folders, and RUN is a
chroot in name spaces of its own. It needs root.

    containerfile.py FILE CONTEXT BASES OUT

CONTEXT is the folder that COPY takes from. BASES holds a root file system for each image that FROM names,
under that name with `:` and `/` as `-`. In OUT the last stage becomes `root`, and what the file says about running
it `image.json`, with the names that an image's configuration has. Known are FROM [AS], COPY [--from], RUN,
ENV, USER, WORKDIR, VOLUME, EXPOSE, STOPSIGNAL and ENTRYPOINT; any other line is refused, because what is
passed over here would make another image elsewhere.
"""

import glob
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def instructions(text):
    """Each instruction with its argument; comments are gone, continued lines are one."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(kept)).splitlines():
        if line.strip():
            word, argument = line.strip().split(None, 1)
            yield word.upper(), argument.strip()


class Stage:
    def __init__(self, root):
        self.root = root
        self.settings = {"Env": [PATH], "User": "0:0", "WorkingDir": "/", "ExposedPorts": {}, "Volumes": {}}

    def inside(self, path):
        """A path of this stage on the machine; one that is not absolute begins in the working folder."""
        return self.root / os.path.join(self.settings["WorkingDir"], path).lstrip("/")


class Build:
    def __init__(self, context, bases, out):
        self.context, self.bases, self.out = context, bases, out
        self.stages = {}
        self.stage = None

    def do_from(self, argument):
        words = argument.split()
        name = words[2] if len(words) == 3 and words[1].upper() == "AS" else str(len(self.stages))
        root = self.out / f"stage-{len(self.stages)}"
        if words[0] == "scratch":
            root.mkdir()
        elif words[0] in self.stages:
            copy_tree(self.stages[words[0]].root, root)
        else:
            copy_tree(self.bases / re.sub("[:/]", "-", words[0]), root)
        self.stage = self.stages[name] = Stage(root)

    def do_copy(self, argument):
        words = shlex.split(argument)
        source_root = self.context
        if words[0].startswith("--from="):
            source_root = self.stages[words.pop(0).removeprefix("--from=")].root
        *sources, target = words
        found = [path for source in sources for path in sorted(glob.glob(str(source_root / source.lstrip("/"))))]
        if not found:
            sys.exit(f"containerfile: COPY finds nothing: {argument}")
        place = self.stage.inside(target)
        for path in map(pathlib.Path, found):
            if path.is_dir():
                copy_tree(path, place)
                continue
            if len(found) > 1 and not target.endswith("/"):
                sys.exit(f"containerfile: COPY of several files into one: {argument}")
            into = place / path.name if target.endswith("/") or place.is_dir() else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into)

    def do_run(self, argument):
        stage = self.stage
        if stage.settings["User"] != "0:0":
            sys.exit("containerfile: RUN as another user than root is not known")
        command = ["/bin/sh", "-c", f"cd {shlex.quote(stage.settings['WorkingDir'])} && {argument}"]
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={stage.root}/proc"]
        environment = ["env", "-i", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", *stage.settings["Env"]]
        print("RUN", argument, flush=True)
        done = subprocess.run([*environment, *inside, "chroot", str(stage.root), *command], check=False)
        if done.returncode != 0:
            sys.exit(f"containerfile: status {done.returncode} of RUN {argument}")

    def do_env(self, argument):
        self.stage.settings["Env"] += shlex.split(argument)

    def do_user(self, argument):
        self.stage.settings["User"] = argument

    def do_workdir(self, argument):
        self.stage.settings["WorkingDir"] = argument
        self.stage.inside("").mkdir(parents=True, exist_ok=True)

    def do_volume(self, argument):
        self.stage.settings["Volumes"] |= {path: {} for path in argument.split()}

    def do_expose(self, argument):
        self.stage.settings["ExposedPorts"] |= {port: {} for port in argument.split()}

    def do_stopsignal(self, argument):
        self.stage.settings["StopSignal"] = argument

    def do_entrypoint(self, argument):
        self.stage.settings["Entrypoint"] = json.loads(argument)


def copy_tree(source, target):
    """With owners, rights and links as they are."""
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    file, context, bases, out = map(pathlib.Path, sys.argv[1:])
    build = Build(context, bases, out.resolve())
    for word, argument in instructions(file.read_text()):
        carry_out = getattr(build, "do_" + word.lower(), None)
        if carry_out is None:
            sys.exit(f"containerfile: {word} is not known here")
        carry_out(argument)
    build.stage.root.rename(build.out / "root")
    (build.out / "image.json").write_text(json.dumps(build.stage.settings, indent=1))
    for stage in build.stages.values():
        if stage is not build.stage:
            shutil.rmtree(stage.root)


main()
