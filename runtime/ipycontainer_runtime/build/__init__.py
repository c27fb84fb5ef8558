"""The Dockerfile's language, pure: source → statements → instructions → stages → plan.

Nothing here runs a container, opens a file or waits. `parse.parse` reads a Dockerfile,
`plan.plan` says which stages a target needs, `scope.Scope` expands one stage's instructions in
order, `ignore.Ignore` reads `.dockerignore`, `checks.check` warns. What Docker's reference leaves
open is done as BuildKit does it.
"""
