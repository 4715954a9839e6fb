# The server of the small install. It listens at port 8000 inside the container; publish it to this machine alone:
#     docker build -t aecrnet . && docker run --rm -p 127.0.0.1:8000:8000 aecrnet
#     curl --data-binary @hazy.jpg http://127.0.0.1:8000/dehaze -o clear.png
FROM python:3.13-slim
COPY pyproject.toml README.md LICENSE NOTICE /build/
COPY requirements /build/requirements
COPY configs /build/configs
COPY checkpoints /build/checkpoints
COPY src /build/src
RUN pip install --no-cache-dir "/build[openvino,serve]" && rm -r /build && useradd --system aecrnet
USER aecrnet
EXPOSE 8000
ENTRYPOINT ["aecrnet-serve", "--host", "0.0.0.0"]
