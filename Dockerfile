# NOT BUILT where it was written (no docker daemon there): a recipe to start from. See docs/robot.md.
#   docker build -t clue_ros .                                             CPU
#   docker build -t clue_ros:cuda --build-arg TORCH_BUILD= .               CUDA: PyPI's own build of torch brings its libraries
#   docker run --rm --net=host --ipc=host --user "$(id -u)" --stop-timeout 30 clue_ros image:=/camera/color/image_raw
ARG BASE=ros:jazzy-ros-base
FROM ${BASE}

# As `make setup` does it: torch first, because it alone may come from an index of its own.
ARG TORCH_BUILD=+cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        python3-pip python3-venv ros-"${ROS_DISTRO}"-diagnostic-msgs ros-"${ROS_DISTRO}"-visualization-msgs \
    && rm -rf /var/lib/apt/lists/*

# In an environment of its own, because Debian's Python takes no pip packages; ROS's are seen through it.
ENV VIRTUAL_ENV=/opt/clue
RUN python3 -m venv --system-site-packages "${VIRTUAL_ENV}"
ENV PATH=${VIRTUAL_ENV}/bin:${PATH}
COPY requirements /ws/src/clue_ros/requirements
WORKDIR /ws/src/clue_ros/requirements
# The constraints' lines about ROS are for its wheels; here ROS is the image's.
RUN grep -v '^ros-' constraints.txt > /tmp/constraints.txt \
    && torch="$(sed -n 's/^torch==//p' core.txt)" \
    && pip install --no-cache-dir -c /tmp/constraints.txt --extra-index-url "${TORCH_INDEX}" "torch==${torch}${TORCH_BUILD}" \
    && pip install --no-cache-dir -c /tmp/constraints.txt -r core.txt

COPY . /ws/src/clue_ros
WORKDIR /ws
RUN source "/opt/ros/${ROS_DISTRO}/setup.bash" && colcon build --packages-select clue_ros

# The robot's side needs no rights. Any user may run it (--user): Fast DDS shares memory with processes of the same one only.
RUN useradd --create-home clue
USER clue
ENV HOME=/tmp ROS_LOG_DIR=/tmp/ros_log
# (The launch file gives the node its DDS profile, under the name that this distribution's Fast DDS reads.)
ENV OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
# ros2 launch stops its nodes on SIGINT; on SIGTERM it leaves them where they are (ros2/launch issue 666).
STOPSIGNAL SIGINT
# The programs start with the Python that built them: the environment's.
ENTRYPOINT ["/bin/bash", "-c", "source /ws/install/setup.bash && exec ros2 launch clue_ros clue.launch.py \"$@\"", "--"]
