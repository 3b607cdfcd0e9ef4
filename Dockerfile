# bilevel on the CPU, with language models as researchers; docs/docker.md says how it is built and used.
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# Packages of the system that your task needs, such as git; none unless said.
ARG PACKAGES=""
RUN if [ -n "$PACKAGES" ]; then apt-get update && apt-get install --yes --no-install-recommends $PACKAGES && rm -rf /var/lib/apt/lists/*; fi

WORKDIR /opt/bilevel
COPY requirements/core.txt requirements/llm.txt requirements/
RUN python -m pip install --require-hashes -r requirements/core.txt
RUN python -m pip install --require-hashes -r requirements/llm.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip install --no-deps --no-build-isolation .

# The user who owns the folder with the runs outside: --build-arg UID=$(id -u)
ARG UID=1000
RUN useradd --create-home --uid "$UID" bilevel && install --directory --owner=bilevel /data /data/runs
USER bilevel
WORKDIR /data
ENTRYPOINT ["bilevel"]
CMD ["--help"]
