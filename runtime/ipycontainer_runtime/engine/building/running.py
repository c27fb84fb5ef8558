"""RUN: a command in the stage's sandbox."""

from ipycontainer_runtime.build.instructions import Run
from ipycontainer_runtime.build.running import invocation
from ipycontainer_runtime.engine.building import cache as caching
from ipycontainer_runtime.engine.building.failures import CommandFailed
from ipycontainer_runtime.engine.building.layering import Delta
from ipycontainer_runtime.engine.building.output import Step
from ipycontainer_runtime.engine.building.runmounts import Mounts
from ipycontainer_runtime.engine.building.sandbox import Command
from ipycontainer_runtime.engine.building.stage import StageBuild
from ipycontainer_runtime.engine.building.state import State
from ipycontainer_runtime.errors import NotImplementedHere


async def run(stage: StageBuild, instruction: Run, step: Step) -> bool:
    """Do a RUN, or take it from the cache; True when it was there."""
    if instruction.security != "sandbox":
        raise NotImplementedHere(
            f"RUN --security={instruction.security} is not supported: steps run with the defaults"
            " of containers; leave it out"
        )
    site, described = stage.site, stage.state.described
    invoked = invocation(instruction, described.shell)
    words = list(invoked.words)
    arguments = [f"{name}={value}" for name, value in sorted(stage.scope.arguments.items())]
    proxies = [f"{name}={value}" for name, value in sorted(stage.scope.proxies.items())]
    told = " ".join(words)
    if arguments or proxies:
        told = " ".join((f"|{len(arguments)}", *arguments, told))
    async with Mounts(stage, instruction.mounts, invoked) as mounts:
        network = "" if instruction.network == "default" else instruction.network
        host = site.request.host

        async def key(before: State) -> str:
            return caching.key(
                "run",
                chain=await before.chain(),
                words=words,
                script=invoked.script,
                env=described.config.env,
                arguments=arguments,
                user=described.config.user,
                folder=described.folder,
                mounts=mounts.inputs,
                network=network or host.network_mode,
                hosts=host.extra_hosts,
                platform=str(before.platform),
                epoch=site.epoch,
            )

        async def make(delta: Delta) -> None:
            placed = await mounts.place(delta)
            command = Command(
                words=tuple(words),
                environment=(
                    *arguments,
                    *proxies,
                    *(described.config.env or ()),
                    *mounts.environment,
                ),
                user=described.config.user,
                folder=described.folder,
                mounts=placed,
                network=network,
            )

            async def say(text: str) -> None:
                site.output.log(step, text)
                await site.room()

            ended = await stage.sandbox.run(command, delta, say)
            await mounts.clean(delta)
            if ended.code:
                raise CommandFailed(" ".join(words), ended.code, ended.oom)

        # An image's history tells nothing of these.
        worded = not (instruction.mounts or invoked.script or network)
        return await stage.done(step, key, told, make, worded=worded)
