# syntax=docker/dockerfile:1
# One image for every process: api (the default), worker, beat, migrate. See docker-compose.yml.

# A digest pins the base image: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/scalecommerce
WORKDIR /src
# Dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --extra server --extra otel --no-install-project
COPY README.md LICENSE ./
COPY scalecommerce_core ./scalecommerce_core
COPY adapters ./adapters
COPY entrypoints ./entrypoints
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --extra server --extra otel --no-editable

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin scalecommerce
COPY --from=build /opt/scalecommerce /opt/scalecommerce
ENV PATH=/opt/scalecommerce/bin:$PATH \
    PYTHONUNBUFFERED=1
# A number, so that an orchestrator can verify that the user is not root.
USER 10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["scalecommerce"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
