"""Where our networks and volumes answer differently from Docker's, each with its reason."""

from differences import Difference

DIFFERENCES = (
    Difference(
        lines=r"volume .*(no-such=1|=perhaps)|nonsense wrong|tmpfs relative",
        reason="a message says its thing once, and what would have been right",
        docker=r"Invalid filter|Invalid subnet nonsense : ",
        ours=r"invalid filter|: use [a-z].*|: true or false is wanted"
        r"|: an address and a length are wanted.*|invalid mount config for type \"tmpfs\": ",
    ),
    Difference(
        lines=r"-p 1\.2\.3\.4:",
        reason="no process stands between a port and its container, so no proxy is spoken of",
        docker=r"Error starting userland proxy: |(?<=tcp)4",
        ours=r"; 1\.2\.3\.4 is no address of this machine.*",
    ),
)
