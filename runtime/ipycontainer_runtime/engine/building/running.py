"""RUN: a command in the stage's sandbox."""

from collections.abc import Mapping

from ipycontainer_runtime.build.instructions import Run
from ipycontainer_runtime.build.running import Invocation, invocation
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
    invoked = invocation(instruction, stage.state.described.shell)
    async with Mounts(stage, instruction.mounts, invoked) as mounts:
        running = _Running(stage, instruction, step, invoked, mounts)
        # An image's history tells nothing of these.
        worded = not (instruction.mounts or invoked.script or running.network)
        return await stage.done(step, running.key, running.told, running.make, worded=worded)


class _Running:
    """One RUN: what its result depends on, and how it is done."""

    def __init__(
        self,
        stage: StageBuild,
        instruction: Run,
        step: Step,
        invoked: Invocation,
        mounts: Mounts,
    ) -> None:
        self.network = "" if instruction.network == "default" else instruction.network
        self._stage = stage
        self._step = step
        self._invoked = invoked
        self._mounts = mounts
        self._described = stage.state.described
        self._arguments = _assigned(stage.scope.arguments)
        self._proxies = _assigned(stage.scope.proxies)

    @property
    def told(self) -> str:
        """The words of the image's history: a RUN with arguments counts them first."""
        words = " ".join(self._invoked.words)
        if self._arguments or self._proxies:
            words = " ".join((f"|{len(self._arguments)}", *self._arguments, words))
        return words

    async def key(self, before: State) -> str:
        """Return the cache's key: proxies are no part of it, by Docker's reference."""
        site, described = self._stage.site, self._described
        host = site.request.host
        return caching.key(
            "run",
            chain=await before.chain(),
            words=list(self._invoked.words),
            script=self._invoked.script,
            env=described.config.env,
            arguments=self._arguments,
            user=described.config.user,
            folder=described.folder,
            mounts=self._mounts.inputs,
            network=self.network or host.network_mode,
            hosts=host.extra_hosts,
            platform=str(before.platform),
            epoch=site.epoch,
        )

    async def make(self, delta: Delta) -> None:
        """Run the command; CommandFailed when it ends with a code."""
        described = self._described
        placed = await self._mounts.place(delta)  # which also settles what they put in variables
        command = Command(
            words=tuple(self._invoked.words),
            environment=(
                *self._arguments,
                *self._proxies,
                *(described.config.env or ()),
                *self._mounts.environment,
            ),
            user=described.config.user,
            folder=described.folder,
            mounts=placed,
            network=self.network,
        )
        ended = await self._stage.sandbox.run(command, delta, self._say)
        await self._mounts.clean(delta)
        if ended.code:
            raise CommandFailed(" ".join(self._invoked.words), ended.code, ended.oom)

    async def _say(self, text: str) -> None:
        self._stage.site.output.log(self._step, text)
        await self._stage.site.room()


def _assigned(variables: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(variables.items())]
