"""`python -m ipycontainer_kernel.dockerfile -f CONNECTION_FILE`: what a kernelspec starts."""

from ipykernel.kernelapp import IPKernelApp

from ipycontainer_kernel.dockerfile.kernel import DockerfileKernel

if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=DockerfileKernel)
