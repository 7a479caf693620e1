# One image for every process; the command says which. docker-compose.yml shows how they go together.
FROM python:3.11-slim

WORKDIR /srv/afresh
ENV PATH=/srv/afresh/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1

# The packages before the code: an edit of the code does not install them again.
COPY requirements.lock ./
COPY scripts/sync.py scripts/
RUN python scripts/sync.py run

# pyproject.toml marks the project's folder, from which settings with a relative path are read.
COPY pyproject.toml ./
COPY sql sql
COPY app app

RUN useradd --system --no-create-home --shell /usr/sbin/nologin afresh
USER afresh

CMD ["python", "-m", "app", "worker"]
