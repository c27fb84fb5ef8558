FROM base
COPY elsewhere/beside file.txt /
