"""`python -m ipycontainer_kernel.dockerfile -f CONNECTION_FILE`: what a kernelspec starts."""

from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config

from ipycontainer_kernel.dockerfile.kernel import DockerfileKernel

if __name__ == "__main__":
    config = Config()
    config.IPKernelApp.ignore_cwd = True  # the notebook's folder may be a stranger's
    IPKernelApp.launch_instance(kernel_class=DockerfileKernel, config=config)
